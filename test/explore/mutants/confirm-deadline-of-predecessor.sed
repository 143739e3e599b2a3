# check: yield-ends
# No confirm deadline at the predecessor.
/^in_paused(/,/^}/ s/arm(s, HANDOFF_DEADLINE_CONFIRM);/add(s, HANDOFF_DISARM);/
