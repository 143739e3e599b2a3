# check: path-is-free
# Keeps the socket file's socket when it renounces.
/^renounce(struct/,/^}/ s/add(s, HANDOFF_CLOSE_PATH);/;/
