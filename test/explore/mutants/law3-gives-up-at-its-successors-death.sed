# check: predecessor-takes-back
# Law 3: never takes a dead successor's service back.
/^successor_died(/,/^}/ s/if (s->h->stopping)/if (true)/
