/* Not written yet. */
extern int not_written_yet;
