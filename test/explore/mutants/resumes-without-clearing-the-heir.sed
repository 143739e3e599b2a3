# check: no-stale-state
# Resumes with an heir in the record, who may have the commit.
/^yielded_locked(/,/^}/ s/write_record(s, WRITING_UNTOUCHED, h->me, 0)/write_record(s, WRITING_UNTOUCHED, h->me, h->down)/
