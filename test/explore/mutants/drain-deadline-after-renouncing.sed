# check: renounced-ends
# No drain deadline for who has renounced.
/^renounce(struct/,/^}/ s/arm(s, HANDOFF_DEADLINE_DRAIN);/;/
