-- Records of the trail that have no row with their event and are not missed: its own word on itself, and what was retired.
ALTER TABLE {p}trail ADD COLUMN rowless bigint NOT NULL DEFAULT 0;
