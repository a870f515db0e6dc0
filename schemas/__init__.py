"""What travels between the parts of Darkroom: records, codecs and pure arithmetic. Imports nothing of ours."""
