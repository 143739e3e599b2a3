# check: claim-ends
# No confirm deadline at the successor.
/^claim(struct/,/^}/ s/arm(s, HANDOFF_DEADLINE_CONFIRM);/add(s, HANDOFF_DISARM);/
