# check: serves-with-owner
# Tells its host to serve, then writes the record.
/^claim_locked(/,/^}/ s/write_record(s, WRITING_CLAIM, h->me, 0);/tell(s, HANDOFF_EVENT_SERVE, HANDOFF_REASON_COMMITTED);\n\t&/
