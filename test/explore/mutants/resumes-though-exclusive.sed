# check: exclusive
# Resumes what another has owned although its host cannot.
/^yielded_locked(/,/^}/ s/ && !h->exclusive//
/^drain(struct/,/^}/ s/h->exclusive || //
