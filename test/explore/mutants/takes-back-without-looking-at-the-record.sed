# check: entitled
# The same for who drains.
/^drain_locked(/,/^}/ s/if (names_a_stranger(s->h, &s->in->record))/if (false)/
