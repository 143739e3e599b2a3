# check: yielder-resumes
# Takes busy for an answer: a dead process's lock outlasts its end of file.
/^asking(/,/^}/ s/add(s, HANDOFF_ASK_AGAIN);/;/
