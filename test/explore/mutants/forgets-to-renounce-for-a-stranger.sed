# check: stranger-is-seen
# Who drains does not mind that a stranger owns.
/^in_drain(/,/^}/ s/if (names_a_stranger(h, &s->in->record))/if (false)/
