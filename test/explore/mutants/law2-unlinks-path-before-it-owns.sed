# check: owner-only
# Law 2: removes the socket file before it holds OWNER.
/^claim(struct/,/^}/ s/add(s, HANDOFF_LOCK_OWNER);/add(s, HANDOFF_UNLINK_PATH);\n\t&/
