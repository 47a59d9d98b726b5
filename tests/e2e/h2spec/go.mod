// Builds h2spec with the oldest Go that it has to build with (Debian 12: 1.19); test_h2spec.py uses it.
module boxedge.test/h2spec

go 1.19

require (
	github.com/fatih/color v1.13.0
	github.com/spf13/cobra v1.6.1
	github.com/summerwind/h2spec v2.2.1+incompatible
	golang.org/x/net v0.7.0
	golang.org/x/sys v0.5.0
	gopkg.in/yaml.v2 v2.4.0
)
