create table users (
  id serial primary key,
  email text not null,
  preferences jsonb
);
create table orders (
  id serial primary key,
  user_id int not null,
  cents int not null check (cents >= 0)
);
insert into users (email, preferences) values
  ('ana@example.com', '{"newsletter": false, "notifications": true}'),
  ('li@example.com', null),
  ('petras@example.com', null);
insert into orders (user_id, cents) values (1, 1200), (2, 800), (2, 350);
