"""The test rig: real servers, browsers, clips and weights, for tests, benches and examples."""
