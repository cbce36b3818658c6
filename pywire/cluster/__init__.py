"""The database hosts of a cluster: who is primary, what may change, and changing it.

`topology`, `decide`, `conninfo`, `synchronous` and `controldata` are pure. `probe`, `control`, `attach` and
`switchover` talk to servers, with trio. Nothing here touches a client's bytes.
"""
