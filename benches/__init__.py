"""The comparison with other proxies on one machine: `make bench`. Not part of the product."""
