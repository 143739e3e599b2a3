# check: entitled
# Asks for OWNER, gets it, and serves whatever the record says.
/^claim_locked(/,/^}/ s/if (s->in->record.heir != h->me)/if (false)/
