# check: service-comes-back
# A first generation whose host is ready does not serve.
/^in_first(/,/^}/ s/if (s->in->type == HANDOFF_HOST_READY)/if (false)/
