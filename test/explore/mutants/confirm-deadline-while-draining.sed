# check: drain-ends
# Asks for a dead successor's OWNER without an end.
/^successor_died(/,/^}/ s/arm(s, HANDOFF_DEADLINE_CONFIRM);/;/
