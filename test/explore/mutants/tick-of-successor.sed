# check: deposed-fails
# A successor that does not look at the record while it waits.
/^out_of_the_running(/,/^}/ s/s->in->type == HANDOFF_TICK/false/
