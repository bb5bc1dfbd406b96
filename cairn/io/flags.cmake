target_link_libraries(cairn_io PUBLIC PNG::PNG JPEG::JPEG ZLIB::ZLIB)
