# check: commit-before-unlock
# Lets OWNER go, then sends the commit.
/^in_paused(/,/^}/ s/add(s, HANDOFF_SEND_COMMIT);/add(s, HANDOFF_UNLOCK_OWNER);\n\t\t&/
