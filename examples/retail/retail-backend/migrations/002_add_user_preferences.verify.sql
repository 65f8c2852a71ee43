select count(*) = 0, 'users without preferences', count(*) from users where preferences is null
