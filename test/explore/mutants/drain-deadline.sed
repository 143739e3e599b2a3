# check: drain-ends
# No drain deadline.
/^drain(struct/,/^}/ s/arm(s, HANDOFF_DEADLINE_DRAIN);/;/
