// The differences that are meant. `when` is asked for a script and the two transcripts, the reference's first.

export const ACCEPTED = [];
