# check: waits-for-the-end
# Takes the service back from a successor that is only silent.
/^yielded_locked(/,/^}/ s/h->down_ended && //
