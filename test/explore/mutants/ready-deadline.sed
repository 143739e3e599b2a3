# check: offer-ends
# No ready deadline.
/^heir_written(/,/^}/ s/arm(s, HANDOFF_DEADLINE_READY);/;/
