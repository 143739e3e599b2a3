# check: untouched
# Law 2: takes a successor that has owned for one that has changed nothing.
/^yielded_locked(/,/^}/ s/if (record->owner == h->me)/if (record->owner == h->me || h->down_ended)/
