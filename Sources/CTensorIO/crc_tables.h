// Tables that take a reflected CRC of 32 bits eight bytes at a time ("slicing by 8").
#ifndef BERTCONV_CRC_TABLES_H
#define BERTCONV_CRC_TABLES_H

#include <stdint.h>

static inline void bertconv_fill_crc_tables(uint32_t table[8][256], uint32_t polynomial) {
  for (uint32_t n = 0; n < 256; n++) {
    uint32_t crc = n;
    for (int k = 0; k < 8; k++) crc = crc & 1 ? (crc >> 1) ^ polynomial : crc >> 1;
    table[0][n] = crc;
  }
  for (uint32_t n = 0; n < 256; n++)
    for (int k = 1; k < 8; k++) table[k][n] = table[0][table[k - 1][n] & 0xFF] ^ (table[k - 1][n] >> 8);
}

#endif
