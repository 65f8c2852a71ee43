-- Only adds, with a default: the version before this one goes on reading and writing beside it.
ALTER TABLE products ADD COLUMN stock INTEGER NOT NULL DEFAULT 0 CHECK (stock >= 0);
UPDATE products SET stock = 12;
