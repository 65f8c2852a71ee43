drop table feature_flags;
drop table products;
