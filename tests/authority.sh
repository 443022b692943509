# Certificates of an authority of our own, for a test that sources this in
# its scratch directory: ca.pem, and by cert NAME SUBJECT-ALTERNATIVE-NAME
# START END, NAME.pem and NAME.key.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout ca.key -out ca.pem -days 30 -subj '/O=Test authority/CN=ca' \
    2>/dev/null
cat >ca.cnf <<'END'
[ca]
default_ca = own
[own]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = names
copy_extensions = copy
[names]
commonName = supplied
END
: >index.txt
echo 01 >serial
cert() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	    -keyout "$1.key" -subj "/CN=$1" -addext "subjectAltName=$2" \
	    -out "$1.csr" 2>/dev/null
	openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key \
	    -in "$1.csr" -out "$1.pem" -startdate "$3" -enddate "$4" \
	    2>/dev/null
}
