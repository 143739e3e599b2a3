# check: ready-ends
# No commit deadline at the successor.
/^in_ready(/,/^}/ s/s->in->type == HANDOFF_DEADLINE/false/
