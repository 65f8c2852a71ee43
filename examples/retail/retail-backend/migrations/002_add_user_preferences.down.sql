update users set preferences = null where id in (select user_id from users_given_preferences);
drop table users_given_preferences;
