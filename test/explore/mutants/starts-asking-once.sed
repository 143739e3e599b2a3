# check: first-serves
# A first generation that asks for OWNER once.
/^in_start(/,/^}/ s/s->h->has_life ? HANDOFF_LOCK_OWNER : HANDOFF_TAKE_LIFE/s->h->has_life ? HANDOFF_ASK_AGAIN : HANDOFF_TAKE_LIFE/
