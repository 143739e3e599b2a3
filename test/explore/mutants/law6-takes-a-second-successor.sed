# check: one-handoff
# Law 6: offers the service to another successor while one has the offer.
/^handoff_disturbed(/,/^}/ s/add_reason(s, HANDOFF_REFUSE_CANDIDATE, HANDOFF_REASON_NONE);/in_serving(s);/
