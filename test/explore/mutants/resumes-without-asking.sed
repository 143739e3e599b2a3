# check: one-owner
# Resumes at the confirm deadline without asking for OWNER.
/^in_yielded(/,/^}/ { /case HANDOFF_DEADLINE:/,/break;/ s/ask_for_owner(s);/resume(s, HANDOFF_REASON_UNTOUCHED);/
}
