/// The parts of the system's libcrypto that Swift uses.
#ifndef VHDTOOLS_COPENSSL_SHIM_H
#define VHDTOOLS_COPENSSL_SHIM_H

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

#endif
