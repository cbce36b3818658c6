"""The admin console: SQL-like commands on the database `pywire`, for any PostgreSQL client.

It never touches a session's bytes; it reads the registries and calls the same verbs the supervisor does.
"""
