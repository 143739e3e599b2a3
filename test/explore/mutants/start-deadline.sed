# check: start-ends
# No start deadline.
/^in_start(/,/^}/ { /case HANDOFF_DEADLINE:/,/break;/ s/fail(.*/;/
}
/^in_conn(/,/^}/ { /case HANDOFF_DEADLINE:/,/break;/ s/fail(.*/;/
}
