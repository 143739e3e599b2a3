# check: drain-ends
# Probation that never ends.
/^drain_deadline(/,/^}/ s/h->probation_over = true;/h->probation_over = false;/
