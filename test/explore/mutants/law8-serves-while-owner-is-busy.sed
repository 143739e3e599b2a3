# check: serves-with-owner
# Law 8: serves when OWNER is held by another.
/^in_claim(/,/^}/ s/add(s, HANDOFF_ASK_AGAIN);/claimed(s);/
