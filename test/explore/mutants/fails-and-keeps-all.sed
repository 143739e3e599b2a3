# check: failed-holds-nothing
# Tells FAILED and closes nothing.
/^fail(struct/,/^}/ s/add(s, HANDOFF_CLOSE_ALL);/;/
