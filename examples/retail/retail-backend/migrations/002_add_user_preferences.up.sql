-- Users without preferences get the usual ones. Who they were is written down: the way back must not take the
-- preferences of those who had some before.
create table users_given_preferences (user_id int primary key references users (id) on delete cascade);
insert into users_given_preferences select id from users where preferences is null;
update users set preferences = '{"newsletter": true, "notifications": true}' where preferences is null;
