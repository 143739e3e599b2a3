# check: stopping-takes-nothing
# Takes over from a dead successor although it was told to stop.
/^yielded_locked(/,/^}/ s/ && !h->stopping//
