/// The parts of the system's libcrypto that Swift uses.
#ifndef VHDTOOLS_COPENSSL_SHIM_H
#define VHDTOOLS_COPENSSL_SHIM_H

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/opensslv.h>
#include <openssl/params.h>

/* Parameters of the library are arrays of structures that hold addresses: made here, where the addresses are valid. */

static inline int vhdtools_hkdf_sha256(int mode, const unsigned char *key, size_t key_byte_count,
                                       const unsigned char *salt, size_t salt_byte_count, const unsigned char *info,
                                       size_t info_byte_count, unsigned char *result, size_t result_byte_count) {
    EVP_KDF *function = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = function ? EVP_KDF_CTX_new(function) : NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_byte_count),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_byte_count),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_byte_count),
        OSSL_PARAM_construct_end(),
    };
    int made = context ? EVP_KDF_derive(context, result, result_byte_count, parameters) : 0;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(function);
    return made;
}

static inline int vhdtools_hmac_sha256_start(EVP_MAC_CTX *context, const unsigned char *key, size_t byte_count) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_init(context, key, byte_count, parameters);
}

#endif
