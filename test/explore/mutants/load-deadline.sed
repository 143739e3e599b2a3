# check: load-ends
# No load deadline.
/^in_load(/,/^}/ s/s->in->type == HANDOFF_DEADLINE/false/
