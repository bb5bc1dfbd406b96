// Properties of characters and normal forms, by utf8proc. Python's names where it has them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cairn::text {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// Bytes that are not UTF-8 stay as they are.
std::string normalize(std::string_view text, NormalForm form);

// Full mappings of single characters, so that "ß" is "SS" in capitals; final sigma as in Python.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(char32_t code_point);
char32_t lower_character(char32_t code_point);

// Calls `cluster` with what a reader takes for one character (extended grapheme clusters), in
// order.
void for_each_cluster(std::string_view text, const std::function<void(std::string_view)>& cluster);

bool is_alphabetic(char32_t code_point);  // categories L*
bool is_alphanumeric(char32_t code_point);
bool is_number(char32_t code_point);  // N*
bool is_decimal(char32_t code_point);
bool is_upper(char32_t code_point);
bool is_lower(char32_t code_point);
bool is_mark(char32_t code_point);              // M*
bool is_combining_mark(char32_t code_point);    // Mn
bool is_punctuation(char32_t code_point);       // P*
bool is_control(char32_t code_point);           // C*, unassigned ones too
bool is_assigned_control(char32_t code_point);  // C* but Cn
bool is_printable(char32_t code_point);         // what repr shows as it is
bool is_python_space(char32_t code_point);
bool is_word(char32_t code_point);  // \w of regular expressions

}  // namespace cairn::text
