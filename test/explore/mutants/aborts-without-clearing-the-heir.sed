# check: aborted-is-unnamed
# Says ABORT and leaves the heir in the record.
/^abort_handoff(/,/^}/ s/write_record(s, WRITING_ABORT, s->h->me, 0)/write_record(s, WRITING_ABORT, s->h->me, s->h->down)/
