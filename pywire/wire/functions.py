"""Names of PostgreSQL's own functions, as far as a statement's text can be read by them.

Pure tables. A name that is in none of them may be anybody's function: only the catalog knows what it does. A function
of the user's own that bears one of these names and is found before PostgreSQL's is taken for PostgreSQL's.
"""

from __future__ import annotations

__all__ = ["ADVISORY_LOCKS", "ADVISORY_UNLOCKS", "HARMLESS", "RETURNS_SETS", "SEQUENCE", "own"]

ADVISORY_LOCKS = {
    "pg_advisory_lock": (False, False),
    "pg_advisory_lock_shared": (True, False),
    "pg_try_advisory_lock": (False, True),
    "pg_try_advisory_lock_shared": (True, True),
}
"""Takes a session-level lock: (shared, may be refused)."""

ADVISORY_UNLOCKS = {"pg_advisory_unlock": False, "pg_advisory_unlock_shared": True}
"""Releases one: shared."""

SEQUENCE = frozenset({"nextval", "currval", "lastval", "setval"})
"""Leaves or reads what the session knows of sequences."""

HARMLESS = frozenset(
    """
    abs age any_value array_agg array_append array_cat array_length array_position array_prepend array_remove
    array_to_json array_to_string array_upper avg bit_and bit_length bit_or bool_and bool_or btrim cardinality ceil
    ceiling char_length character_length chr clock_timestamp col_description concat concat_ws convert_from convert_to
    corr count cume_dist current_database current_schema current_schemas current_setting current_user date_bin
    date_part date_trunc decode degrees dense_rank encode every exp extract first_value floor format format_type
    gen_random_bytes gen_random_uuid generate_series generate_subscripts getdatabaseencoding greatest
    has_any_column_privilege has_column_privilege has_database_privilege has_schema_privilege has_table_privilege
    hashtext hashtextextended initcap is_distinct isfinite json_agg json_array_elements json_array_elements_text
    json_array_length json_build_array json_build_object json_each json_each_text json_extract_path
    json_extract_path_text json_object_agg json_object_keys json_populate_record json_populate_recordset
    json_to_record json_to_recordset json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_extract_path_text jsonb_insert jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_populate_record jsonb_pretty jsonb_set jsonb_strip_nulls
    jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours justify_interval lag last_value lead
    left length ln localtimestamp log lower lpad ltrim make_date make_interval make_time make_timestamp
    make_timestamptz max md5 min mod mode now nth_value ntile nullif num_nonnulls num_nulls numnode obj_description
    octet_length overlaps overlay percent_rank percentile_cont percentile_disc pg_advisory_xact_lock
    pg_advisory_xact_lock_shared pg_backend_pid pg_blocking_pids pg_cancel_backend pg_column_size
    pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_xact_id pg_current_xact_id_if_assigned
    pg_database_size pg_get_constraintdef pg_get_expr pg_get_function_arguments pg_get_function_identity_arguments
    pg_get_function_result pg_get_functiondef pg_get_indexdef pg_get_partkeydef pg_get_ruledef
    pg_get_serial_sequence pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_is_in_recovery
    pg_is_other_temp_schema pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp
    pg_listening_channels pg_my_temp_schema pg_notify pg_postmaster_start_time pg_relation_size pg_size_pretty
    pg_sleep pg_stat_get_activity pg_table_is_visible pg_table_size pg_terminate_backend pg_total_relation_size
    pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_type_is_visible pg_typeof pg_wal_lsn_diff
    plainto_tsquery position power quote_ident quote_literal quote_nullable radians rank regexp_count regexp_instr
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
    regexp_substr repeat replace reverse right round row_number row_to_json rpad rtrim sha256 shobj_description
    sign similar_to_escape split_part sqrt starts_with statement_timestamp stddev stddev_pop stddev_samp
    string_agg string_to_array string_to_table strpos substr substring sum timeofday timezone to_ascii to_char
    to_date to_hex to_json to_jsonb to_number to_regclass to_regtype to_timestamp to_tsquery to_tsvector
    transaction_timestamp translate trim trim_array trunc ts_headline ts_rank ts_rank_cd txid_current
    txid_current_if_assigned unnest upper var_pop var_samp variance version websearch_to_tsquery width_bucket
    xmlagg
    """.split()  # noqa: SIM905 - as a list it would fill pages
)
"""PostgreSQL's own that many programs use, and that leave nothing in a session. `random()` is not among them: what it
answers after `setseed()` is the session's."""

RETURNS_SETS = frozenset(
    """
    generate_series generate_subscripts json_array_elements json_array_elements_text json_each json_each_text
    json_object_keys json_populate_recordset json_to_recordset jsonb_array_elements jsonb_array_elements_text
    jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_to_recordset pg_listening_channels
    pg_stat_get_activity regexp_matches regexp_split_to_table string_to_table unnest
    """.split()  # noqa: SIM905 - as a list it would fill pages
)
"""Those of the harmless ones that make what stands beside them be evaluated more than once, or never."""


def own(schema: str | None) -> bool:
    """Whether a function named with this schema, or with none, is taken for PostgreSQL's."""
    return schema in (None, "pg_catalog")
