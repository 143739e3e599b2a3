# check: pause-ends
# No commit deadline at the predecessor.
/^in_paused(/,/^}/ s/if (handoff_disturbed(s))/if (s->in->type == HANDOFF_DEADLINE || handoff_disturbed(s))/
